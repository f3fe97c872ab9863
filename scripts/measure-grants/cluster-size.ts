import type { AppToInstall } from '../../test/conformance/grant-source.conformance';
import { manifestMap, manifestText } from '../../test/support/manifest-config-map';

/** `npm run measure:grants -- manifests`: the grants are in manifests in ConfigMaps. */
export const MANIFESTS = process.argv.includes('manifests');
/** `-- manifests distinct`: no two manifests are the same, so that each must be parsed. */
const DISTINCT = process.argv.includes('distinct');

export const USERS = Number(process.env['USERS'] ?? 2000);
export const APPS = Number(process.env['APPS'] ?? (MANIFESTS ? 5 : 50));

const OPERATIONS = ['RetrieveSecret', 'CreateSecret', 'UpdateSecret', 'DeleteSecret', 'ListSecret'];

export function appOf(user: number, app: number): AppToInstall {
  const name = `app${app}`;
  return {
    app: name,
    user: `user${user}`,
    appKey: `bytetrade_${name}_${String(user * APPS + app).padStart(6, '0')}`,
    appSecret: String(user * APPS + app).padStart(16, '0'),
    ops: OPERATIONS.map((operation) => `${operation}?workspace=${name}-desk`),
  };
}

/** Some 9 KiB, as published manifests have. */
const DESCRIPTION = `spec:\n  fullDescription: |\n${'    A line of text that tells what the app is good for, as in a market.\n'.repeat(130)}`;

/** The ConfigMap with which an app brings its manifest. */
export function mapOf({ app, user, ops }: AppToInstall): ReturnType<typeof manifestMap> {
  const text = `${manifestText(app, ops)}${DESCRIPTION}${DISTINCT ? `# ${user}\n` : ''}`;
  return manifestMap(`${app}-${user}`, text);
}
