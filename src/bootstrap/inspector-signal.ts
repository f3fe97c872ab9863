import './unexpected-error';
import './guarded-intrinsics';
import type { LogEvent } from '../logging/log';

/**
 * On SIGUSR1 Node opens its inspector, which reads all memory. A listener replaces that, so every entry point imports this
 * file before any other. `--disable-sigusr1` in the image covers the moments before.
 */
let log: LogEvent | undefined;
let received = false;
let logged = false;

process.on('SIGUSR1', () => {
  received = true;
  logOnce();
});

/** Logs the first SIGUSR1, also one that came before this call; further ones are not logged. */
export function logInspectorSignal(to: LogEvent): void {
  log = to;
  if (received) logOnce();
}

function logOnce(): void {
  if (log === undefined || logged) return;
  logged = true;
  log('warn', 'inspector_signal_ignored');
}
