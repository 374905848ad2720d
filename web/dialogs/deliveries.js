// Owns the webhooks of a task: where each was sent, what became of every attempt, and sending one again.

import { listDeliveries, redeliver } from '../service/api.js';
import { notice } from '../state/notices.js';
import { dateTime } from '../ui/format.js';
import { html, useEffect, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, Dialog, DialogHead, ProblemNote } from '../ui/parts.js';

const REFRESH_MS = 3_000;
const TONES = { PENDING: 'waiting', DELIVERED: 'good', FAILED: 'bad' };

export function DeliveriesDialog({ task, onClose }) {
  const [deliveries, setDeliveries] = useState(null);
  const [problem, setProblem] = useState(null);
  const attempt = async (action) => {
    try {
      const { deliveries: found } = await action();
      setDeliveries(found);
      setProblem(null);
    } catch (error) {
      setProblem(error);
    }
  };
  useEffect(() => {
    const read = () => attempt(() => listDeliveries(task.id));
    read();
    const timer = setInterval(read, REFRESH_MS);
    return () => clearInterval(timer);
  }, [task.id]);
  const resend = (delivery) =>
    attempt(async () => {
      const response = await redeliver(task.id, delivery.id);
      notice(t('resent'));
      return response;
    });
  return html`
    <${Dialog} id="deliveries" class="panel-dialog wide" labelledBy="deliveries-title" onClose=${onClose}>
      <${DialogHead} id="deliveries-title" title=${t('deliveries')} onClose=${onClose} />
      <${ProblemNote} problem=${problem} />
      ${deliveries?.length === 0 && html`<p class="soft">${t('noDeliveries')}</p>`}
      <ul class="deliveries">
        ${(deliveries ?? []).map((delivery) => html`<${Delivery} key=${delivery.id} delivery=${delivery} onResend=${() => resend(delivery)} />`)}
      </ul>
    <//>
  `;
}

const Delivery = ({ delivery, onResend }) => html`
  <li class="delivery" data-state=${delivery.state}>
    <div class="row spread">
      <div class="delivery-head">
        <p><span class=${`pill ${TONES[delivery.state]}`}>${t(`delivery_${delivery.state}`)}</span> <code>${delivery.type}</code></p>
        <p class="soft ellipsis">${delivery.url}</p>
      </div>
      <${Button} class="small resend" icon="redo" onClick=${onResend}>${t(delivery.state === 'PENDING' ? 'sendNow' : 'resend')}<//>
    </div>
    <ol class="attempts">
      ${delivery.attempts.map((attempt) => html`<li key=${attempt.at}><span>${dateTime(attempt.at)}</span><span>${resultOf(attempt)}</span></li>`)}
      ${delivery.next_try_at && html`<li class="soft"><span>${dateTime(delivery.next_try_at)}</span><span>${t('nextAttempt')}</span></li>`}
    </ol>
  </li>
`;

const resultOf = ({ status, error }) =>
  status ? `HTTP ${status}` : (error ?? '—');
