// Owns parts of the page whose modules are fetched when they are first needed.

import { html, useEffect, useState } from './html.js';

/** Draws the component that `load` resolves to, with all other properties; `children` until it is there. */
export function Lazy({ load, children, ...rest }) {
  const [Part, setPart] = useState(null);
  useEffect(() => {
    let isWanted = true;
    load().then((loaded) => isWanted && setPart(() => loaded));
    return () => (isWanted = false);
  }, []);
  return Part ? html`<${Part} ...${rest} />` : (children ?? null);
}
