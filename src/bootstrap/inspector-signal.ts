import type { LogEvent } from '../logging/log';

/**
 * Node opens its inspector, which reads all memory, when it is sent SIGUSR1. A listener takes the place of that, so every entry point
 * imports this file before any other. `--disable-sigusr1`, where the image's Node is started, covers the moments before.
 */
let log: LogEvent | undefined;
let received = false;
let logged = false;

process.on('SIGUSR1', () => {
  received = true;
  logOnce();
});

/** Has the first SIGUSR1 logged, also one that came already; those after it are ignored without a word. */
export function logInspectorSignal(to: LogEvent): void {
  log = to;
  if (received) logOnce();
}

function logOnce(): void {
  if (log === undefined || logged) return;
  logged = true;
  log('warn', 'inspector_signal_ignored');
}
