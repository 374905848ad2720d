// A hook for runs: state for the screen, one run at a time, and interrupted ones continued when the page opens.

import { useCallback, useEffect, useRef, useState } from 'react';
import type {
  FinishedRun, FollowOptions, Gateway, GatewayProblem, Output, RunOptions, Task,
} from 'runninghub-gateway-client';

export interface RunState {
  isRunning: boolean;
  /** The task as it was last seen; null before the gateway has accepted it. */
  task: Task | null;
  /** The files of a run that succeeded. */
  outputs: Output[];
  /** Why the run was refused or did not succeed: a GatewayProblem or a TaskFailure. */
  error: Error | null;
  /** The gateway cannot be reached at the moment; the client tries again. */
  trouble: GatewayProblem | null;
}

export interface Run extends RunState {
  run(webappId: string, options: Pick<RunOptions, 'values' | 'accessPassword' | 'instanceType'>): void;
  cancel(): void;
}

type Start = (options: FollowOptions) => Promise<FinishedRun>;

const IDLE: RunState = { isRunning: false, task: null, outputs: [], error: null, trouble: null };

/** `gateway` must be the same object on every render. */
export function useRun(gateway: Gateway): Run {
  const [state, setState] = useState(IDLE);
  const following = useRef<AbortController | null>(null);

  const follow = useCallback((start: Start) => {
    following.current?.abort();
    const { signal } = (following.current = new AbortController());
    const update = (change: Partial<RunState>) => {
      if (!signal.aborted) setState((current) => ({ ...current, ...change }));
    };
    setState({ ...IDLE, isRunning: true });
    start({
      signal,
      onChange: (task) => update({ task, trouble: null }),
      onRetry: (trouble) => update({ trouble }),
    }).then(
      ({ task, outputs }) => update({ task, outputs, isRunning: false, trouble: null }),
      (error: Error) => update({ error, isRunning: false, trouble: null }),
    );
  }, []);

  useEffect(() => {
    // A reload interrupted it, and nobody else follows it.
    const interrupted = gateway.unfinished().at(-1);
    if (interrupted) follow((options) => gateway.resume(interrupted.idempotencyKey, options));
    return () => following.current?.abort(); // the task goes on, and is continued by the next page
  }, [gateway, follow]);

  return {
    ...state,
    run: (webappId, options) => follow((callbacks) => gateway.run(webappId, { ...options, ...callbacks })),
    cancel: () => {
      if (state.task) gateway.cancel(state.task.id).catch((error: Error) => setState((current) => ({ ...current, error })));
    },
  };
}
