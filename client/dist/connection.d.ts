/**
 * The token, or a function that returns it before every call. After a 401 the function is called once more with the
 * refused token; where it returns another one (a renewed JWT), the call is sent again.
 */
export type TokenSource = string | ((refused: string | null) => string | null | Promise<string | null>);
export interface RequestOptions {
    method?: string;
    /** Sent as JSON, unless it is a FormData. */
    body?: unknown;
    query?: Readonly<Record<string, unknown>>;
    headers?: Readonly<Record<string, string>>;
    signal?: AbortSignal | undefined;
    timeoutMs?: number;
    /** In place of `fetch`. */
    transport?: Transport;
}
export type Transport = (url: string, init: RequestInit) => Promise<Response>;
export interface Connection {
    readonly baseUrl: string;
    /** The response, of 2xx; the time limit covers the time to its headers. */
    open(path: string, options?: RequestOptions): Promise<Response>;
    /** The response's JSON; the time limit covers all of it. */
    json<T>(path: string, options?: RequestOptions): Promise<T>;
}
export declare function connect(baseUrl: string, token: TokenSource | null, transport: Transport): Connection;
