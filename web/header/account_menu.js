// Owns the state and balance of the RunningHub accounts in the header.

import { accounts, readAccounts } from '../state/connection.js';
import { clockTime, amount } from '../ui/format.js';
import { html, useEffect } from '../ui/html.js';
import { hasText, t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Menu } from '../ui/parts.js';

const TONES = {
  ok: 'good',
  full: 'waiting',
  insufficient_balance: 'bad',
  key_refused: 'bad',
  unavailable: 'bad',
};

const total = (name) => accounts.value.reduce((sum, account) => sum + (Number(account[name]) || 0), 0);
const currencySign = (currency) => (currency === 'USD' ? '$' : '¥');

/** "994 coins · ¥12.40" of all accounts together; null while nothing is known. */
export function balanceText() {
  if (!accounts.value.length) return null;
  const money = total('remainMoney');
  const parts = [t('coins', { n: amount(total('remainCoins')) })];
  if (money > 0) parts.push(`${currencySign(accounts.value[0].currency)}${amount(money)}`);
  return parts.join(' · ');
}

/** The state to show first: the worst only when no account is usable. */
export function accountState() {
  const states = accounts.value.map((account) => account.state);
  return ['ok', 'full', ...states].find((state) => states.includes(state)) ?? null;
}

export const stateText = (state) => (hasText(`account_${state}`) ? t(`account_${state}`) : state);

export function AccountMenu() {
  useEffect(() => {
    readAccounts();
  }, []);
  const state = accountState();
  if (!state) return null;
  const button = html`
    <span class=${`dot ${TONES[state] ?? 'bad'}`}></span><span class="balance">${balanceText()}</span>
  `;
  return html`
    <${Menu} class="account" label=${t('accountLabel', { state: stateText(state), balance: balanceText() })} panelClass="at-end" button=${button}>
      ${() => html`<ul class="accounts">
        ${accounts.value.map((account) => html`<${Account} key=${account.name} account=${account} />`)}
      </ul>`}
    <//>
  `;
}

function Account({ account }) {
  const {
    name,
    state,
    message,
    running,
    max_concurrent_tasks: most,
    remainCoins,
    remainMoney,
    currency,
  } = account;
  const slots = running === undefined ? null : t(most ? 'slotsOf' : 'slots', { n: running, most });
  return html`
    <li class="account-row">
      <p class="account-name">
        <span class=${`dot ${TONES[state] ?? 'bad'}`}></span><strong>${name}</strong
        ><span class="soft">${stateText(state)}</span>
      </p>
      <p class="soft">
        ${[
          remainCoins !== null && t('coins', { n: amount(remainCoins) }),
          Number(remainMoney) > 0 && `${currencySign(currency)}${amount(remainMoney)}`,
          slots,
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      ${message && html`<p class="account-message"><${Icon} name="alert" />${message}</p>`}
      ${account.next_probe_at && html`<p class="soft">${t('nextProbe', { time: clockTime(account.next_probe_at) })}</p>`}
    </li>
  `;
}
