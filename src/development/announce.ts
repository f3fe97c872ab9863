import { join } from 'node:path';
import type { Settings } from '../config/settings';
import type { GrantSource } from '../grants/grant-source';
import { announcement, tourWorkspace } from './announcement';
import { keepHeadersFile } from './headers-file';

/** Prints the curl tour of a laptop's own service and keeps its credentials file fresh. */
export async function announce(
  folder: string,
  url: string,
  settings: Settings,
  apps: GrantSource,
): Promise<void> {
  const app = apps.find('alice', 'otmoiclp');
  const workspace = app === undefined ? undefined : tourWorkspace(app);
  if (app === undefined || workspace === undefined) return;
  const headersFile = join(folder, 'headers');
  await keepHeadersFile(headersFile, { url, app, userTokenSecret: settings.userToken.secret });
  process.stdout.write(announcement(url, app, workspace, headersFile));
}
