// Owns the view library as the page uses it: templates, hooks and signals from one place.

import htm from '../vendor/htm.js';
import { h } from '../vendor/preact.js';

export { render } from '../vendor/preact.js';
export { useEffect, useId, useLayoutEffect, useRef, useState } from '../vendor/hooks.js';
export { batch, computed, effect, signal, untracked, useSignal } from '../vendor/signals.js';

export const html = htm.bind(h);
