// Owns what a field is called in the page's language.

import { pick } from '../ui/i18n.js';

export const labelOf = ({ input, fieldName }) => pick(input.label, input.labelEn) || fieldName;
