import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { validate } from 'dockerfile-utils';
import { NODE_FLAGS, RECIPE, ROOT, stagesOf } from './recipe';

const [before = [], build = [], final = []] = stagesOf();
const of = (keyword: string) => final.filter((step) => step.keyword === keyword);

describe("the image's recipe", () => {
  it('has nothing that a linter objects to', () => {
    expect(validate(RECIPE, { deprecatedMaintainer: 2, directiveCasing: 2, instructionCasing: 2 })).toEqual(
      [],
    );
  });

  it('takes both of its bases from arguments, so that whoever builds it pins them by digest', () => {
    const bases = before.flatMap(({ keyword, text }) =>
      keyword === 'ARG' && /_IMAGE=/.test(text) ? [text.split('=')] : [],
    );
    expect([build, final].map(([from]) => from?.words[0])).toEqual(bases.map(([name]) => `\${${name}}`));
    for (const [, base] of bases) expect(base).toMatch(/^[a-z/]+:(?!latest)/);
  });

  it('ends as a numeric user that is not root', () => {
    expect(of('USER').map(({ text }) => text)).toEqual(['65532:65532']);
    expect(final.findIndex(({ keyword }) => keyword === 'USER')).toBeGreaterThan(
      final.findLastIndex(({ keyword }) => keyword === 'COPY'),
    );
  });

  it('needs no shell at run time, and Node has no debugger there that opens by a signal', () => {
    expect(of('RUN')).toEqual([]);
    for (const step of [...of('ENTRYPOINT'), ...of('HEALTHCHECK')])
      expect(step.text.replace(/^.*?CMD /, '')).toMatch(/^\["node", "--disable-sigusr1", /);
  });

  it('starts a service that makes no code of strings, has no __proto__, and a heap as docs/decisions/0014 has measured, as npm start does', () => {
    expect(NODE_FLAGS).toEqual([
      '--disable-sigusr1',
      '--disallow-code-generation-from-strings',
      '--disable-proto=delete',
      '--max-semi-space-size=4',
      '--heap-growing-percent=100',
    ]);
    const { scripts } = JSON.parse(readFileSync(resolve(ROOT, 'package.json'), 'utf8')) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    // Node 20 does not know the first flag, in whose place src/bootstrap/hardened-process.ts stands.
    for (const name of ['start', 'start:prod'])
      expect(scripts[name]).toBe(`node ${NODE_FLAGS.slice(1).join(' ')} dist/main.js`);
  });

  describe('given bases', () => {
    const check = build.find(({ keyword }) => keyword === 'RUN')?.text ?? '';
    const DIGEST = `@sha256:${'0123456789abcdef'.repeat(4)}`;
    const statusWith = (env: Readonly<Record<string, string>>): number | null =>
      spawnSync('/bin/sh', ['-c', check], { env: { PATH: process.env['PATH'] ?? '', ...env } }).status;

    it('builds nothing from a base that has no digest, before it runs anything else', () => {
      expect(build.slice(0, 5).map(({ keyword }) => keyword)).toEqual(['FROM', 'ARG', 'ARG', 'ARG', 'RUN']);
      const [node, runtime] = [`node:24-bookworm-slim${DIGEST}`, `gcr.io/distroless/nodejs24${DIGEST}`];
      expect(statusWith({ NODE_IMAGE: node, RUNTIME_IMAGE: runtime, UNPINNED_BASES: 'refused' })).toBe(0);
      for (const bad of [
        'node:24',
        '',
        `node:24@sha256:${'0'.repeat(63)}`,
        `node:24@sha256:${'G'.repeat(64)}`,
      ]) {
        expect([bad, statusWith({ NODE_IMAGE: bad, RUNTIME_IMAGE: runtime })]).toEqual([bad, 1]);
        expect([bad, statusWith({ NODE_IMAGE: node, RUNTIME_IMAGE: bad })]).toEqual([bad, 1]);
      }
    });

    it('builds from any base where that is asked for, which nothing does by itself', () => {
      expect(statusWith({ NODE_IMAGE: 'node', RUNTIME_IMAGE: 'node', UNPINNED_BASES: 'allowed' })).toBe(0);
      expect(before.map(({ text }) => text)).toContain('UNPINNED_BASES=refused');
    });
  });

  it('asks the metrics port how the service is, where there is one: the other may speak TLS and want a certificate', () => {
    const [check] = of('HEALTHCHECK');
    expect(check?.text).toContain(
      "'http://127.0.0.1:'+(process.env.METRICS_PORT||process.env.PORT||8080)+'/livez'",
    );
  });

  it('copies what was built, owned by root, and nothing else', () => {
    expect(of('COPY').map(({ words, flags }) => [flags['from'], flags['chown'], words[0]])).toEqual([
      ['build', '0:0', '/app/package.json'],
      ['build', '0:0', '/app/node_modules'],
      ['build', '0:0', '/app/dist'],
    ]);
    expect([...build, ...final].filter(({ keyword }) => keyword === 'ADD')).toEqual([]);
  });

  it('bears the labels of the Open Container Initiative', () => {
    const labels = of('LABEL')
      .map(({ text }) => text)
      .join(' ');
    for (const name of ['title', 'description', 'licenses', 'source', 'version', 'revision'])
      expect(labels).toContain(`org.opencontainers.image.${name}=`);
  });

  it('holds no credential: keys are mounted as files', () => {
    expect(RECIPE).not.toMatch(/(SECRET|TOKEN|PASSWORD|_KEY)=/);
  });
});
