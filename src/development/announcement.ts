import type { InstalledApp } from '../grants/installed-app';
import { TOUR_STEPS } from './tour-steps';

/** The workspace on which the app holds all five operations; undefined where there is none. */
export function tourWorkspace(app: InstalledApp): string | undefined {
  const counts = new Map<string, number>();
  for (const grant of app.grants) {
    const workspace = grant.slice(grant.indexOf('=') + 1);
    counts.set(workspace, (counts.get(workspace) ?? 0) + 1);
  }
  return [...counts].find(([, count]) => count === 5)?.[0];
}

/** A ready-to-paste sequence; the credentials stay in the file. */
export function curlSequence(url: string, workspace: string, headersFile: string): string {
  const calls = TOUR_STEPS.map(({ operation, body }) =>
    [
      `curl -sS -X POST '${url}/${operation}?workspace=${workspace}'`,
      `-H @'${headersFile}'`,
      "-H 'Content-Type: application/json'",
      `-d '${JSON.stringify(body)}'; echo`,
    ].join(' '),
  );
  return calls.join('\n');
}

export function announcement(url: string, app: InstalledApp, workspace: string, headersFile: string): string {
  return `
olares-secret-provider listens on ${url}, with app ${app.app} installed for user ${app.user}.
Paste this into another shell (the credentials of this laptop are in the file behind -H @, and kept fresh):

${curlSequence(url, workspace, headersFile)}

Or let \`npm run tour\` walk the same calls and check each answer. Ctrl-C stops the service.
`;
}
