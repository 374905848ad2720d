import type { Task } from './types.js';
export interface Output {
    url: string;
    /** The file's extension: `png`, `mp4`, … */
    fileType: string | null;
    /** The node that produced it. */
    nodeId: string | null;
}
export declare function outputsOf(task: Task): Output[];
