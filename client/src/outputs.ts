// The results of a task as files that a page can show.

import type { Task } from './types.js';

export interface Output {
  url: string;
  /** The file's extension: `png`, `mp4`, … */
  fileType: string | null;
  /** The node that produced it. */
  nodeId: string | null;
}

export function outputsOf(task: Task): Output[] {
  return (task.result_data ?? []).flatMap((file) =>
    file.fileUrl ? [{ url: file.fileUrl, fileType: file.fileType ?? null, nodeId: file.nodeId ?? null }] : []);
}
