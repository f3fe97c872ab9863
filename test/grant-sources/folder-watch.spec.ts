import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FolderWatch } from '../../src/grant-sources/directory/directory.grant-source';
import { eventually } from '../support/eventually';
import { GrantsFolder } from './grants-folder';

describe('the watch of a folder', () => {
  let folder: GrantsFolder;
  let changes: number;
  let watch: FolderWatch;
  const pause = () => new Promise((resolve) => setTimeout(resolve, 300));
  const told = () => eventually(() => expect(changes).toBeGreaterThan(0));
  /** Waits until everything that happened so far has been told of, and forgets it. */
  const forget = async () => {
    let before: number;
    do {
      before = changes;
      await pause();
    } while (changes !== before);
    changes = 0;
  };

  beforeEach(() => {
    folder = new GrantsFolder();
    changes = 0;
    watch = new FolderWatch(
      folder.dir,
      () => void changes++,
      () => undefined,
    );
  });
  afterEach(async () => {
    await watch.close();
    folder.dispose();
  });

  it('tells of a change in a folder of it', async () => {
    mkdirSync(folder.path('notes'));
    await watch.follow();
    folder.write('notes/file', '');
    await told();
  });

  it('watches again a folder that went away and came back as it was', async () => {
    mkdirSync(folder.path('notes'));
    await watch.follow();
    const away = `${folder.dir}.away`;
    renameSync(folder.dir, away);
    await expect(watch.follow()).rejects.toMatchObject({ code: 'ENOENT' });
    await pause();
    renameSync(away, folder.dir);
    await watch.follow();
    await forget();
    folder.write('notes/file', '');
    await told();
  });

  it('does not crawl what a link leads to', async () => {
    const outside = join(folder.root, 'outside');
    mkdirSync(outside);
    symlinkSync(outside, folder.path('link'));
    await watch.follow();
    // The link itself may have been told of.
    await forget();
    writeFileSync(join(outside, 'file'), '');
    await pause();
    expect(changes).toBe(0);
  });

  it('does not go deeper than the files of an app', async () => {
    mkdirSync(folder.path('notes', 'chart', 'templates'), { recursive: true });
    await watch.follow();
    folder.write('notes/chart/templates/file', '');
    await pause();
    expect(changes).toBe(0);
  });

  it('throws where there is no folder', async () => {
    folder.dispose();
    await expect(watch.follow()).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
