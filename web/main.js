// Starts the page: its state, then what is drawn from it.

import { watchTokenLinks } from './service/token_link.js';
import { App } from './app.js';
import { startConnection } from './state/connection.js';
import { html, render } from './ui/html.js';

watchTokenLinks();
startConnection();
const root = document.getElementById('root');
root.replaceChildren();
render(html`<${App} />`, root);
