// Owns a task that is on its way: what is left, how far it is, and why it waits.

import { progressOf } from '../logic/estimate.js';
import { serviceNow } from '../service/api.js';
import { clockTime, duration, timeLeft } from '../ui/format.js';
import { html, useEffect, useState } from '../ui/html.js';
import { hasText, t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { areNotificationsOffered, areNotificationsOn, toggleNotifications } from '../state/notices.js';
import { Button } from '../ui/parts.js';

const TICK_MS = 500;

export function Progress({ task }) {
  useTicks();
  const now = serviceNow();
  const progress = progressOf(task, now);
  const elapsed = Math.max(0, (now - Date.parse(task.created_at)) / 1000);
  return html`
    <div class="stage running">
      <div class="run-state">
        <p class="run-left">${headline(task, progress)}</p>
        <progress id="progress" max="1" value=${progress.share ?? undefined} aria-label=${t('progress')}></progress>
        <p class="run-details" id="progress-text">${details(task, elapsed, progress).map((part) => html`<span key=${part}>${part}</span>`)}</p>
        <${Waiting} waiting=${task.waiting} />
        ${areNotificationsOffered && html`<${NotifyButton} />`}
      </div>
    </div>
  `;
}

// Counted here between two responses of the service.
function useTicks() {
  const [, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), TICK_MS);
    return () => clearInterval(timer);
  }, []);
}

function headline({ status, queue_position: place }, { leftSeconds, isOverdue }) {
  if (status === 'PENDING' && place) return t('placeInQueue', { n: place });
  if (isOverdue) return t('overdue');
  return leftSeconds === null ? t(`${status}_text`) : timeLeft(leftSeconds);
}

function details({ status, queue_position: place, expected_seconds: expected }, elapsed, { leftSeconds }) {
  const isInHeadline = leftSeconds === null && !(status === 'PENDING' && place);
  return [
    !isInHeadline && t(`${status}_text`),
    t('elapsed', { time: duration(elapsed) }),
    expected && t('usually', { time: duration(expected) }),
  ].filter(Boolean);
}

/** Why a waiting task does not run; `queued` is what the place in the queue says already. */
function Waiting({ waiting }) {
  if (!waiting || waiting.code === 'queued') return null;
  const text = hasText(`waiting_${waiting.code}`) ? t(`waiting_${waiting.code}`) : waiting.message;
  return html`
    <div class="alert info">
      <${Icon} name="clock" />
      <div>
        <p>${text}</p>
        ${waiting.next_try_at && html`<p class="soft">${t('nextTry', { time: clockTime(waiting.next_try_at) })}</p>`}
      </div>
    </div>
  `;
}

const NotifyButton = () => html`
  <${Button}
    kind="quiet"
    class="small notify"
    icon=${areNotificationsOn.value ? 'bell' : 'bellOff'}
    aria-pressed=${String(areNotificationsOn.value)}
    onClick=${toggleNotifications}
  >${t(areNotificationsOn.value ? 'notifyOn' : 'notifyOff')}<//>
`;
