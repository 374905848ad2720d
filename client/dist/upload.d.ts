import type { Connection } from './connection.js';
import type { UploadedFile } from './types.js';
export interface UploadOptions {
    /** The app that the file is for; needed where the gateway has accounts on two of RunningHub's hosts. */
    webappId?: string | undefined;
    /** Receives the sent share of the file, from 0 to 1. Node reports only the end. */
    onProgress?: ((share: number) => void) | undefined;
    /** Aborts the upload. */
    signal?: AbortSignal | undefined;
}
/** Sends a file; the returned `fileName` is the value of a file field. A Blob without a name is sent as `file`. */
export declare function upload(connection: Connection, file: Blob, options: UploadOptions): Promise<UploadedFile>;
