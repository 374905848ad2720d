// Owns the chart of usage: a bar for every day of the period.

import { daySeries, measureOf } from '../logic/usage.js';
import { amount, shortDay } from '../ui/format.js';
import { html } from '../ui/html.js';
import { t } from '../ui/i18n.js';

export function UsageChart({ usage }) {
  const measure = measureOf(usage.total);
  const series = daySeries(usage.byDay, usage.period, measure);
  const most = series.reduce((best, each) => (each.value > best.value ? each : best));
  const summary = most.value
    ? t('chartSummary', { value: valueText(measure, most.value), day: shortDay(most.day) })
    : t('chartEmpty');
  return html`
    <figure class="usage-chart">
      <figcaption><strong>${t(`${measure}PerDay`)}</strong><span class="soft">${summary}</span></figcaption>
      <div class="bars" role="img" aria-label=${`${t(`${measure}PerDay`)}: ${summary}`}>
        ${series.map(
          ({ day, value }) => html`<span class="bar" key=${day} title=${`${shortDay(day)}: ${valueText(measure, value)}`}>
            <span class=${value ? 'bar-value' : 'bar-value none'} style=${{ height: barHeight(value, most.value) }}></span>
          </span>`,
        )}
      </div>
      <div class="bar-days soft" aria-hidden="true"><span>${shortDay(series[0].day)}</span><span>${shortDay(series.at(-1).day)}</span></div>
    </figure>
  `;
}

const barHeight = (value, most) => (value ? `${Math.max(2, (100 * value) / most)}%` : '2px');

const valueText = (measure, value) =>
  measure === 'tasks' ? t('taskCount', { n: amount(value) }) : t(measure, { n: amount(value) });
