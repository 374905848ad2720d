// The form library and its dependencies, in one file for a page without a build step: `npm install` makes it.
import { customizeValidator } from '@rjsf/validator-ajv8';
import { Ajv2020 } from 'ajv/dist/2020.js';

export { default as Form } from '@rjsf/core';
export { createElement } from 'react';
export { createRoot } from 'react-dom/client';
export const validator = customizeValidator({ AjvClass: Ajv2020, customFormats: { textarea: () => true } });
