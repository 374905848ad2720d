// Owns the tools below a result: download one or all, copy its link, use it as input, compare, full view.

import { fileNameOf, isNamedByPage, outputsOf } from '../logic/outputs.js';
import { promptOf } from '../logic/prompts.js';
import { taskRoute } from '../logic/routes.js';
import { outputFile, outputsZip } from '../service/api.js';
import { appName } from '../state/apps.js';
import { asInput, fieldsFor, fillWithOutput } from '../state/inputs.js';
import { notice } from '../state/notices.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, copyText, IconButton, Menu, saveFile } from '../ui/parts.js';
import { labelOf } from '../form/labels.js';
import { CompareMenu } from './compare_menu.js';

const PAUSE_BETWEEN_MS = 300;

export function Toolbar({ task, form, outputs, output, attempt, onFull, onCompare }) {
  const nameOf = (item, count = outputs.length) =>
    fileNameOf({ prompt: promptOf(task), appName: appName(task.webapp_id), output: item, count });
  const copyLink = async () => {
    await copyText(`${location.origin}/${taskRoute(task.id)}`);
    notice(t('linkCopied'));
  };
  const files = outputs.filter((item) => item.downloadUrl && !item.isGone);
  const isPicture = output.kind === 'image' && output.url && !output.isGone;
  return html`
    <div class="toolbar" role="group" aria-label=${t('resultTools')}>
      ${output.downloadUrl && !output.isGone && html`<${Download} output=${output} name=${nameOf(output)} attempt=${attempt} />`}
      ${
        files.length > 1 &&
        html`<${IconButton} icon="downloadAll" label=${t('downloadAll', { n: files.length })} onClick=${() => attempt(() => downloadAll(task, files, nameOf))} />`
      }
      <${IconButton} icon="link" label=${t('copyLink')} onClick=${copyLink} />
      <${UseAsInput} task=${task} form=${form} output=${output} attempt=${attempt} />
      ${isPicture && html`<${CompareMenu} task=${task} output=${output} onCompare=${onCompare} />`}
      <span class="spacer"></span>
      ${!output.isKept && html`<${Keeping} task=${task} />`}
      ${isPicture && html`<${IconButton} icon="expand" label=${t('fullView')} onClick=${onFull} />`}
    </div>
  `;
}

// A browser prefers the name in the response, which is RunningHub's number, to the one of the link; so what fits into
// memory is saved by the page. It opens what another host sends, so that gets a tab of its own.
function Download({ output, name, attempt }) {
  const [isBusy, setBusy] = useState(false);
  const target = output.isOurs ? {} : { target: '_blank', rel: 'noreferrer' };
  const save = async (event) => {
    if (!isNamedByPage([output])) return;
    event.preventDefault();
    if (isBusy) return;
    setBusy(true);
    await attempt(async () => saveFile(await outputFile(output.downloadUrl, name)));
    setBusy(false);
  };
  return html`
    <a class="button secondary small download" href=${output.downloadUrl} download=${name} ...${target} onClick=${save} data-busy=${isBusy ? '' : null}>${isBusy ? html`<span class="spinner"></span>` : html`<${Icon} name="download" />`}<span>${t('download')}</span></a>
  `;
}

/** One archive of what this service has; else one download after another. */
async function downloadAll(task, files, nameOf) {
  if (isNamedByPage(files)) {
    return saveFile(await outputsZip(task.id, nameOf({ ending: 'zip' }, 1)));
  }
  for (const file of files) {
    const link = document.createElement('a');
    Object.assign(link, { href: file.downloadUrl, download: nameOf(file), rel: 'noreferrer' });
    if (!file.isOurs) link.target = '_blank';
    link.click();
    // A browser drops downloads that start in the same moment.
    await new Promise((resolve) => setTimeout(resolve, PAUSE_BETWEEN_MS));
  }
  return undefined;
}

function UseAsInput({ task, form, output, attempt }) {
  const fields = fieldsFor(form, output);
  if (!fields.length) return null;
  const use = (field) =>
    attempt(async () => {
      await fillWithOutput(field, asInput(task, output));
      notice(t('usedAsInput', { name: labelOf(field.node) }));
    });
  if (fields.length === 1)
    return html`<${Button} icon="useAsInput" class="small use-as-input" aria-label=${t('useAsInput')} onClick=${() => use(fields[0])}>${t('useAsInput')}<//>`;
  return html`
    <${Menu} class="small" label=${t('useAsInput')} panelClass="above" button=${html`<${Icon} name="useAsInput" /><span>${t('useAsInput')}</span>`}>
      ${(close) =>
        fields.map(
          (field) =>
            html`<button type="button" class="menu-item" key=${field.key} onClick=${() => {
              close();
              use(field);
            }}>${labelOf(field.node)}</button>`,
        )}
    <//>
  `;
}

/** How long the links live, where this service does not keep the files. */
function Keeping({ task }) {
  const isOurs = outputsOf(task).some((output) => output.isOurs);
  return html`<span class="note soft"><${Icon} name="clock" />${t(isOurs ? 'keepingOutputs' : 'linksEnd')}</span>`;
}
