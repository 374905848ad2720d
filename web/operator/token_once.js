// Owns a new token while it is shown, this one time: to be copied as it is, or as a link that signs in.

import { signInLink } from '../logic/users.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, CopyButton, Dialog } from '../ui/parts.js';

/** Only its button closes it: a stray click would lose the token. */
export const TokenOnce = ({ name, token, onClose }) => html`
  <${Dialog} id="token-once" class="panel-dialog" labelledBy="token-once-title" onClose=${() => {}}>
    <h2 id="token-once-title">${t('tokenOf', { name })}</h2>
    <p class="soft">${t('tokenOnce')}</p>
    <code class="token-text">${token}</code>
    <div class="row token-copies">
      <${CopyButton} kind="primary" text=${() => token} label=${t('copyToken')} />
      <${CopyButton} text=${() => signInLink(location.origin, token)} label=${t('copySignInLink')} />
    </div>
    <p class="hint">${t('signInLinkHint')}</p>
    <div class="row end"><${Button} onClick=${onClose}>${t('done')}<//></div>
  <//>
`;
