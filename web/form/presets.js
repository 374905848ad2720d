// Owns an app's presets: sets of values with a name, kept in this browser.

import { deletePreset, fill, savePreset } from '../state/form.js';
import { notice } from '../state/notices.js';
import { html, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Icon } from '../ui/icons.js';
import { Button, IconButton, Menu } from '../ui/parts.js';

export function Presets({ form }) {
  const button = html`<${Icon} name="bookmark" /><span>${t('presets')}</span>`;
  return html`
    <${Menu} class="presets small" label=${t('presets')} panelClass="at-end presets-panel" button=${button}>
      ${(close) => html`<${PresetList} form=${form} close=${close} />`}
    <//>
  `;
}

function PresetList({ form, close }) {
  const [name, setName] = useState('');
  const save = () => {
    if (!name.trim()) return;
    savePreset(form, name.trim());
    notice(t('presetSaved', { name: name.trim() }));
    close();
  };
  const apply = (preset) => {
    fill(form, preset.values);
    notice(t('filled'));
    close();
  };
  const onKeyDown = (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    save();
  };
  return html`
    ${form.presets.value.length === 0 && html`<p class="soft menu-note">${t('noPresets')}</p>`}
    <ul>
      ${form.presets.value.map(
        (preset) => html`<li class="preset" key=${preset.name}>
          <button type="button" class="menu-item" onClick=${() => apply(preset)}>${preset.name}</button>
          <${IconButton} icon="trash" label=${t('deletePreset', { name: preset.name })} onClick=${() => deletePreset(form, preset.name)} />
        </li>`,
      )}
    </ul>
    <div class="row preset-new">
      <input
        type="text"
        aria-label=${t('presetName')}
        placeholder=${t('presetName')}
        value=${name}
        onInput=${(event) => setName(event.target.value)}
        onKeyDown=${onKeyDown}
      />
      <${Button} class="small" onClick=${save}>${t('save')}<//>
    </div>
  `;
}
