// Owns what can be done with a task in view: see its inputs, take them into the form, run it again, delete it.

import { confirmed } from '../dialogs/confirm.js';
import { InputsDialog } from '../dialogs/inputs.js';
import { isActive, isDeletable } from '../logic/statuses.js';
import { appRoute, GALLERY, taskRoute } from '../logic/routes.js';
import { valuesOf } from '../logic/submission.js';
import { isOperator } from '../state/connection.js';
import { fill } from '../state/form.js';
import { notice } from '../state/notices.js';
import { navigate } from '../state/router.js';
import { rerun } from '../state/runs.js';
import { remove } from '../state/tasks.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Lazy } from '../ui/lazy.js';
import { Button, copyText, Menu } from '../ui/parts.js';
import { isPhone, tab } from '../workspace/layout.js';

const loadDeliveries = () => import('../dialogs/deliveries.js').then((module) => module.DeliveriesDialog);

/** Puts a task's values into the form; what was there is replaced, so this is a button of its own. */
export function useValues(task, form) {
  fill(form, valuesOf(task.node_info));
  if (isPhone()) tab.value = 'form';
  notice(t('filled'));
}

export function TaskActions({ task, form, attempt }) {
  const [dialog, setDialog] = useState(null);
  const close = () => setDialog(null);
  return html`
    ${form && html`<${Button} class="small again" icon="redo" onClick=${() => useValues(task, form)}>${t('again')}<//>`}
    <${Button} class="small" kind="quiet" onClick=${() => setDialog('inputs')}>${t('inputs')}<//>
    <${MoreMenu} task=${task} attempt=${attempt} onDeliveries=${() => setDialog('deliveries')} />
    ${
      dialog === 'inputs' &&
      html`<${InputsDialog} task=${task} form=${form} onUse=${() => {
        close();
        useValues(task, form);
      }} onClose=${close} />`
    }
    ${dialog === 'deliveries' && html`<${Lazy} load=${loadDeliveries} task=${task} onClose=${close} />`}
  `;
}

function MoreMenu({ task, attempt, onDeliveries }) {
  const copyLink = async () => {
    await copyText(`${location.origin}/${taskRoute(task.id)}`);
    notice(t('linkCopied'));
  };
  const removeIt = async () => {
    if (!(await confirmed(t('deleteQuestion'), t('delete')))) return;
    await attempt(async () => {
      await remove(task);
      notice(t('deleted'));
      navigate(task.webapp_id ? appRoute(task.webapp_id) : GALLERY);
    });
  };
  const isOver = isDeletable(task.status);
  return html`
    <${Menu} class="small" label=${t('moreActions')} panelClass="at-end" button=${html`<${Icon} name="more" />`}>
      ${(close) => html`
        <button type="button" class="menu-item" onClick=${() => {
          close();
          copyLink();
        }}><${Icon} name="link" />${t('copyLink')}</button>
        ${
          isOver &&
          html`<button type="button" class="menu-item" onClick=${() => {
            close();
            attempt(() => rerun(task));
          }}><${Icon} name="redo" />${t('rerun')}</button>`
        }
        ${
          isOperator.value &&
          !isActive(task.status) &&
          html`<button type="button" class="menu-item" onClick=${() => {
            close();
            onDeliveries();
          }}><${Icon} name="send" />${t('deliveries')}</button>`
        }
        ${
          isOver &&
          html`<button type="button" class="menu-item bad-text" onClick=${() => {
            close();
            removeIt();
          }}><${Icon} name="trash" />${t('delete')}</button>`
        }
      `}
    <//>
  `;
}
