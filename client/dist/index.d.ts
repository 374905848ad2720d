export { createGateway } from './gateway.js';
export type { CallOptions, FinishedRun, Gateway, GatewayOptions, RerunOptions, Runnable, RunOptions, } from './gateway.js';
export type { RequestOptions, TokenSource, Transport } from './connection.js';
export { isFinal } from './follow.js';
export type { FollowOptions } from './follow.js';
export { GatewayProblem, TaskFailure } from './problem.js';
export type { RunStorage, UnfinishedRun } from './runs.js';
export type * from './types.js';
export type { UploadOptions } from './upload.js';
