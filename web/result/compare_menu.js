// Owns the choice of what a result is compared with: an input of its task, another result of it, or another task.

import { outputsOf, previewOf, webAddress } from '../logic/outputs.js';
import { promptOf } from '../logic/prompts.js';
import { previewOfFile } from '../state/form.js';
import { shownTasks } from '../state/tasks.js';
import { dateTime } from '../ui/format.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Menu, Picture } from '../ui/parts.js';

const MOST_TASKS = 12;

export const CompareMenu = ({ task, output, onCompare }) => html`
  <${Menu} class="small compare-menu" label=${t('compare')} panelClass="above compare-panel" button=${html`<${Icon} name="compare" /><span>${t('compare')}</span>`}>
    ${(close) =>
      html`<${Choices} choices=${choicesFor(task, output)} onChoose=${(choice) => {
        close();
        onCompare(choice);
      }} />`}
  <//>
`;

function Choices({ choices, onChoose }) {
  if (!choices.length) return html`<p class="soft menu-note">${t('nothingToCompare')}</p>`;
  return html`
    <p class="menu-title">${t('compareWith')}</p>
    <ul class="compare-choices">
      ${choices.map(
        (choice) => html`<li key=${choice.url}>
          <button type="button" onClick=${() => onChoose(choice)} title=${choice.label}>
            <span class="thumb"><${Picture} src=${choice.thumb ?? choice.url} alt="" loading="lazy"><${Icon} name="image" /><//></span>
            <span class="ellipsis">${choice.label}</span>
          </button>
        </li>`,
      )}
    </ul>
  `;
}

/** `[{url, label, thumb?}]`, inputs first. */
function choicesFor(task, output) {
  return [...inputsOf(task), ...siblings(task, output), ...others(task)];
}

const inputsOf = (task) =>
  (task.node_info ?? [])
    .filter((item) => item.fieldType === 'IMAGE')
    .map((item) => previewOfFile(item.fieldValue)?.url ?? webAddress(item.fieldValue))
    .filter(Boolean)
    .map((url) => ({ url, label: t('input') }));

const siblings = (task, output) =>
  outputsOf(task)
    .filter((other) => other.kind === 'image' && other.url && other.n !== output.n)
    .map((other) => ({
      url: other.url,
      thumb: other.thumbnailUrl,
      label: t('outputLabel', { kind: t('kind_image'), n: other.n + 1 }),
    }));

const others = (task) =>
  shownTasks.value
    .filter((other) => other.id !== task.id && previewOf(other)?.kind === 'image')
    .slice(0, MOST_TASKS)
    .map((other) => {
      const { url, thumbnailUrl } = previewOf(other);
      return { url, thumb: thumbnailUrl, label: promptOf(other) || dateTime(other.created_at) };
    });
