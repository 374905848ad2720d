// Owns the body of POST /submit_task: what the form's values become.

import { keyOf } from './fields.js';

/** `values` by field key; extras are sent only where they say something. */
export function submissionOf(
  app,
  values,
  { instanceType = 'default', accessPassword = '', metadata = null } = {},
) {
  return {
    webappId: app.webappId,
    nodeInfoList: app.nodeInfoList.map((node) => ({
      nodeId: node.nodeId,
      fieldName: node.fieldName,
      fieldType: node.fieldType,
      fieldValue: values[keyOf(node)],
    })),
    ...(instanceType !== 'default' && { instanceType }),
    ...(accessPassword && { accessPassword }),
    ...(metadata && { metadata }),
  };
}

/** The values of an earlier task by field key. */
export const valuesOf = (nodeInfo) =>
  Object.fromEntries((nodeInfo ?? []).map((item) => [keyOf(item), item.fieldValue ?? '']));

/** The body without what differs from press to press, to recognise the same run. */
export const fingerprintOf = (submission) => JSON.stringify({ ...submission, metadata: undefined });
