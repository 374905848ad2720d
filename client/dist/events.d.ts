export interface StreamEvent {
    type: string;
    data: string;
    id: string;
}
/** Each event of a response's body; throws when nothing, not even a heartbeat, arrives for `silenceMs`. */
export declare function readEvents(body: ReadableStream<Uint8Array>, silenceMs: (isFirst: boolean) => number): AsyncGenerator<StreamEvent>;
