// Owns the list of earlier tasks: search, filters, pages; of 10,000 tasks only the rows in view are drawn.

import { heightOf, rowsOf, visibleRows } from '../logic/virtual_list.js';
import {
  cursor,
  filters,
  isLoaded,
  isLoading,
  listProblem,
  loadedCount,
  loadMore,
  NO_FILTERS,
  search,
  searchFor,
  setFilters,
  shownTasks,
} from '../state/tasks.js';
import { computed, html, useEffect, useRef, useState } from '../ui/html.js';
import { dayName } from '../ui/format.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, IconButton, ProblemNote } from '../ui/parts.js';
import { toggleHistory } from '../workspace/layout.js';
import { HistoryFilters } from './history_filters.js';
import { HistoryItem } from './history_item.js';

const SIZES = { rowHeight: 76, headingHeight: 36 };
const NEAR_END_PX = 600;

export function History() {
  return html`
    <div class="history">
      <div class="history-head">
        <h2 id="history-title">${t('history')}</h2>
        <${HistoryFilters} />
        <${IconButton} icon="close" class="history-close" label=${t('hideHistory')} onClick=${toggleHistory} />
      </div>
      <${Search} />
      <${List} />
    </div>
  `;
}

function Search() {
  const [text, setText] = useState(search.value);
  useEffect(() => {
    const timer = setTimeout(() => searchFor(text), 200);
    return () => clearTimeout(timer);
  }, [text]);
  return html`
    <label class="history-search">
      <${Icon} name="search" />
      <span class="visually-hidden">${t('historySearch')}</span>
      <input
        id="history-search"
        type="search"
        autocomplete="off"
        placeholder=${t('historySearch')}
        value=${text}
        onInput=${(event) => setText(event.target.value)}
      />
    </label>
  `;
}

// Once for each change of the tasks, not for each step of a scroll.
const allRows = computed(() => rowsOf(shownTasks.value, SIZES));

function List() {
  const scroller = useRef(null);
  const [view, setView] = useState({ top: 0, height: 900 });
  const measure = () => {
    // A scroll that was under way when the list went away.
    if (!scroller.current) return;
    const { scrollTop, clientHeight } = scroller.current;
    setView({ top: scrollTop, height: clientHeight });
  };
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);
  const rows = allRows.value;
  const height = heightOf(rows);
  const isNearEnd = view.top > 0 && view.top + view.height > height - NEAR_END_PX;
  // While a search finds nothing, a person decides how far back it goes.
  useEffect(() => {
    if (isNearEnd && cursor.value && !isLoading.value && !listProblem.value && !search.value) loadMore();
  }, [isNearEnd, height]);
  return html`
    <div class="history-scroll" ref=${scroller} onScroll=${measure} tabindex="-1">
      <ul class="history-rows" id="tasks" style=${{ height: `${height}px` }}>
        ${visibleRows(rows, view.top, view.height).map((row) => html`<${Row} key=${row.id} row=${row} />`)}
      </ul>
      <${Foot} isEmpty=${!rows.length} />
    </div>
  `;
}

const Row = ({ row }) => html`
  <li class=${`history-row ${row.kind}`} style=${{ transform: `translateY(${row.top}px)`, height: `${row.height}px` }}>
    ${row.kind === 'day' ? html`<h3>${dayName(row.day)}</h3>` : html`<${HistoryItem} task=${row.task} />`}
  </li>
`;

const isFiltered = () => search.value || JSON.stringify(filters.value) !== JSON.stringify(NO_FILTERS);

function Foot({ isEmpty }) {
  const clear = () => {
    search.value = '';
    setFilters(NO_FILTERS);
  };
  return html`
    <div class="history-foot">
      ${isEmpty && isLoaded.value && !isLoading.value && html`<p class="soft" id="history-empty">${t(isFiltered() ? 'historyNothingFound' : 'historyEmpty')}</p>`}
      ${isEmpty && isFiltered() && html`<${Button} class="small" kind="quiet" onClick=${clear}>${t('clearFilters')}<//>`}
      <${ProblemNote} problem=${listProblem.value} />
      ${search.value && cursor.value && html`<p class="soft">${t('searchedSoFar', { n: loadedCount.value })}</p>`}
      ${cursor.value && html`<${Button} id="load-more" class="small" aria-disabled=${isLoading.value ? 'true' : null} onClick=${() => !isLoading.value && loadMore()}>${t(search.value ? 'searchFurther' : 'loadMore')}<//>`}
    </div>
  `;
}
