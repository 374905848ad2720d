// Owns what stands beside Run before anything is paid: what cannot work or is probably not meant, with links to the fields.

import { isPhone, tab } from '../workspace/layout.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Menu } from '../ui/parts.js';
import { faultText } from '../ui/problems.js';
import { labelOf } from './labels.js';

/** Brings an issue's field into view and into focus. */
export function goTo(issue) {
  if (isPhone()) tab.value = 'form';
  const control = document.getElementById(issue.id);
  const group = control?.closest('details');
  if (group) group.open = true;
  control?.focus();
  control?.closest('.field')?.scrollIntoView({ block: 'nearest' });
}

export function Issues({ form }) {
  const issues = form.issues.value;
  if (!issues.length) return null;
  const faults = issues.filter((issue) => issue.isFault).length;
  const tone = faults ? 'bad' : 'caution';
  const label = faults ? t('faultCount', { n: faults }) : t('cautionCount', { n: issues.length });
  const button = html`<${Icon} name="alert" /><span class="issue-count">${issues.length}</span>`;
  return html`
    <${Menu} class=${`issues ${tone}`} label=${label} panelClass="above issues-panel" button=${button}>
      ${(close) => html`
        <p class="menu-title">${label}</p>
        <ul>
          ${issues.map((issue) => html`<${Issue} key=${issue.id} issue=${issue} close=${close} />`)}
        </ul>
      `}
    <//>
  `;
}

function Issue({ issue, close }) {
  const follow = () => {
    close();
    goTo(issue);
  };
  return html`
    <li>
      <button type="button" class="menu-item issue" onClick=${follow}>
        <strong>${issue.field ? labelOf(issue.field.node) : t('accessPassword')}</strong>
        <span class=${issue.isFault ? 'bad-text' : 'soft'}>${faultText(issue)}</span>
      </button>
    </li>
  `;
}
