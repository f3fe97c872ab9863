import { explainByManifest } from '../../src/authz/manifest-explanation';
import { manifestText } from '../support/manifest-config-map';

const OPS = [
  'RetrieveSecret?workspace=desk',
  'ListSecret',
  'ListSecrets?workspace=desk',
  'ListSecret?workspace=settings',
];
const TEXT = manifestText('notes', OPS);

describe('the explanation by one manifest', () => {
  const explain = (
    op: 'RetrieveSecret' | 'ListSecret',
    workspace: string,
    isInConfigMap = false,
    text = TEXT,
  ) => explainByManifest({ path: 'notes.yaml', text, isInConfigMap }, op, workspace);

  it('allows what the manifest states, names the line, and no user', () => {
    expect(explain('RetrieveSecret', 'desk')).toEqual({
      app: 'notes',
      operation: 'RetrieveSecret',
      workspace: 'desk',
      allowed: true,
      decidedBy: 'grant',
      message: 'App notes states RetrieveSecret?workspace=desk.',
      statedAt: [{ source: 'notes.yaml', line: 9 }],
    });
    expect(explain('ListSecret', 'notes')).toMatchObject({
      allowed: true,
      statedAt: [{ source: 'notes.yaml', line: 10 }],
    });
    expect(explain('ListSecret', 'settings')).toMatchObject({ allowed: true });
  });

  it('denies what it does not state, and names the lines that grant nothing', () => {
    expect(explain('ListSecret', 'desk')).toMatchObject({
      allowed: false,
      statedAt: [],
      hints: [
        {
          source: 'notes.yaml',
          line: 11,
          reason: expect.stringContaining('op "ListSecrets?workspace=desk"'),
        },
      ],
    });
  });

  it('says that an approval is needed outside of the workspaces of the app where the manifest is in a ConfigMap', () => {
    expect(explain('RetrieveSecret', 'desk', true)).toMatchObject({
      allowed: false,
      decidedBy: 'pending_approval',
    });
    expect(explain('ListSecret', 'settings', true)).toMatchObject({
      allowed: false,
      decidedBy: 'pending_approval',
    });
    expect(explain('ListSecret', 'notes', true)).toMatchObject({ allowed: true, decidedBy: 'grant' });
  });

  it('denies everything by a manifest that is refused, with the line of the refusal', () => {
    expect(explain('ListSecret', 'desk', false, TEXT.replace('v1', '{{ .Values.v }}'))).toEqual({
      operation: 'ListSecret',
      workspace: 'desk',
      allowed: false,
      statedAt: [],
      hints: [
        { source: 'notes.yaml', line: 7, reason: 'the permission block contains a template directive' },
      ],
    });
  });
});
