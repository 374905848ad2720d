// Owns the list of users with a token: who they are, what they may and did spend, and changes of them.

import { confirmed } from '../dialogs/confirm.js';
import { LIMITS } from '../logic/users.js';
import { notice } from '../state/notices.js';
import { deleteUser, monthCoins, readUsers, renewToken, users, usersProblem } from '../state/users.js';
import { amount, dateTime } from '../ui/format.js';
import { html, useEffect, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, Menu, ProblemNote } from '../ui/parts.js';
import { TokenOnce } from './token_once.js';
import { UserDialog } from './user_dialog.js';

export function Users() {
  // `{user}` while one is created (null) or changed; `{name, token}` while a token is shown.
  const [dialog, setDialog] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    readUsers();
  }, []);
  const close = () => setDialog(null);
  const attempt = async (action) => {
    setProblem(null);
    await action().catch(setProblem);
  };
  const renew = (user) =>
    attempt(async () => {
      if (!(await confirmed(t('renewQuestion', { name: user.name }), t('newToken')))) return;
      setDialog({ name: user.name, token: await renewToken(user.name) });
    });
  const remove = (user) =>
    attempt(async () => {
      if (!(await confirmed(t('deleteUserQuestion', { name: user.name }), t('delete')))) return;
      await deleteUser(user.name);
      notice(t('deleted'));
    });
  return html`
    <div class="users">
      <div class="section-head">
        <div>
          <h2 id="users-title">${t('users')}</h2>
          <p class="soft">${t('usersText')}</p>
        </div>
        <${Button} kind="primary" icon="plus" id="new-user" onClick=${() => setDialog({ user: null })}>${t('newUser')}<//>
      </div>
      <${ProblemNote} problem=${problem ?? usersProblem.value} />
      ${users.value && html`<${UserTable} onChange=${(user) => setDialog({ user })} onRenew=${renew} onRemove=${remove} />`}
      ${dialog?.token && html`<${TokenOnce} ...${dialog} onClose=${close} />`}
      ${
        dialog &&
        !dialog.token &&
        html`<${UserDialog} user=${dialog.user} onClose=${close} onCreated=${(name, token) => setDialog({ name, token })} />`
      }
    </div>
  `;
}

function UserTable({ onChange, onRenew, onRemove }) {
  if (!users.value.length) return html`<p class="soft users-empty">${t('noUsers')}</p>`;
  return html`
    <div class="table-scroll" tabindex="0" role="region" aria-label=${t('users')}>
      <table id="users" role="table">
        <thead role="rowgroup">
          <tr role="row">
            <th scope="col" role="columnheader">${t('userName')}</th>
            <th scope="col" role="columnheader">${t('coinsThisMonth')}</th>
            <th scope="col" role="columnheader">${t('limits')}</th>
            <th scope="col" role="columnheader">${t('expires')}</th>
            <th scope="col" role="columnheader"><span class="visually-hidden">${t('moreActions')}</span></th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          ${users.value.map(
            (user) => html`<tr role="row" key=${user.name}>
              <th scope="row" role="rowheader">${user.name}</th>
              <td role="cell" data-label=${t('coinsThisMonth')}>${spent(user)}</td>
              <td role="cell" data-label=${t('limits')} class="limits">${limitsText(user)}</td>
              <td role="cell" data-label=${t('expires')}>${expiryText(user)}</td>
              <td role="cell"><${UserMenu} user=${user} onChange=${onChange} onRenew=${onRenew} onRemove=${onRemove} /></td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  `;
}

function spent({ name, limits }) {
  const coins = amount(monthCoins.value.get(name) ?? 0);
  const most = limits.coins_per_month;
  return most ? t('spentOf', { n: coins, most: amount(most) }) : coins;
}

/** The user's own limits in words; what is not named follows the settings. */
function limitsText({ limits, webapp_ids: apps }) {
  const named = LIMITS.filter((name) => limits[name] !== null && name !== 'coins_per_month');
  const texts = named.map((name) => t(`short_${name}`, { n: amount(limits[name]) }));
  if (apps) texts.push(t('onlyApps', { n: apps.length }));
  return texts.length ? texts.join(' · ') : html`<span class="soft">${t('asInSettings')}</span>`;
}

function expiryText({ expires_at: time }) {
  if (!time) return html`<span class="soft">${t('never')}</span>`;
  const isOver = Date.parse(time) < Date.now();
  return html`<span class=${isOver ? 'bad-text' : ''}>${t(isOver ? 'expiredAt' : 'atTime', { time: dateTime(time) })}</span>`;
}

function UserMenu({ user, onChange, onRenew, onRemove }) {
  const items = [
    ['list', 'changeUser', onChange],
    ['redo', 'newToken', onRenew],
    ['trash', 'delete', onRemove],
  ];
  return html`
    <${Menu} class="small" label=${t('userActions', { name: user.name })} panelClass="at-end" button=${html`<${Icon} name="more" />`}>
      ${(close) =>
        items.map(
          ([icon, key, action]) => html`<button type="button" class=${`menu-item ${key === 'delete' ? 'bad-text' : ''}`} key=${key} onClick=${() => {
            close();
            action(user);
          }}><${Icon} name=${icon} />${t(key)}</button>`,
        )}
    <//>
  `;
}
