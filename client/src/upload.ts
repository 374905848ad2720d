// A file's way to the gateway, with progress where the environment can report it.

import type { Connection, Transport } from './connection.js';
import type { UploadedFile } from './types.js';

const TIMEOUT_MS = 10 * 60_000;

export interface UploadOptions {
  /** The app that the file is for; needed where the gateway has accounts on two of RunningHub's hosts. */
  webappId?: string | undefined;
  /** Receives the sent share of the file, from 0 to 1. Node reports only the end. */
  onProgress?: ((share: number) => void) | undefined;
  /** Aborts the upload. */
  signal?: AbortSignal | undefined;
}

/** Sends a file; the returned `fileName` is the value of a file field. A Blob without a name is sent as `file`. */
export async function upload(connection: Connection, file: Blob, options: UploadOptions): Promise<UploadedFile> {
  const { onProgress, signal, webappId } = options;
  const body = new FormData();
  body.append('file', file, 'name' in file ? String(file.name) : 'file');
  const transport = onProgress && 'XMLHttpRequest' in globalThis ? { transport: withProgress(onProgress) } : {};
  const uploaded = await connection.json<UploadedFile>('/upload', {
    method: 'POST', query: { webapp_id: webappId }, body, signal, timeoutMs: TIMEOUT_MS, ...transport,
  });
  onProgress?.(1);
  return uploaded;
}

// fetch() cannot tell how much of a body has been sent; XMLHttpRequest can.
function withProgress(onProgress: (share: number) => void): Transport {
  return (url, { method, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method!, url);
      for (const [name, value] of Object.entries(headers as Record<string, string>)) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
      request.onload = () => resolve(asResponse(request));
      request.onerror = () => reject(new TypeError('The upload failed.'));
      request.onabort = () => reject(new DOMException('The upload was aborted.', 'AbortError'));
      signal!.addEventListener('abort', () => request.abort());
      request.send(body as FormData);
    });
}

function asResponse(request: XMLHttpRequest): Response {
  const retryAfter = request.getResponseHeader('Retry-After');
  const headers: HeadersInit = retryAfter ? { 'Retry-After': retryAfter } : {};
  return new Response(request.responseText, { status: request.status, headers });
}
