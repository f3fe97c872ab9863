import { type Grant, SECRET_OPERATIONS, type SecretOperation } from './grant';
import { WORKSPACE_NAME, WORKSPACE_RULE } from './workspace-name';

/** Why an `ops` entry grants nothing; one clause that is safe to log and to show. */
export interface OpProblem {
  readonly problem: string;
}

const SHOWN_LENGTH = 100;

/**
 * One entry of `ops`: `<Op>?workspace=<name>`, or a bare `<Op>`, which means the workspace named like the app.
 * Nothing is decoded, trimmed or completed: what is not exactly one of the two grants nothing.
 */
export function parseOp(entry: unknown, app: string): Grant | OpProblem {
  if (typeof entry !== 'string') return { problem: 'an op must be text' };
  const [name, ...rest] = entry.split('?');
  const operation = SECRET_OPERATIONS.find((known) => known === name);
  if (operation === undefined) {
    return refuse(entry, `the operation is none of ${SECRET_OPERATIONS.join(', ')}`);
  }
  if (rest.length === 0) return parseBareOp(operation, app);
  const parameters = rest.join('?').split('&');
  const [parameter, second] = parameters;
  if (parameter === undefined || second !== undefined || !parameter.startsWith('workspace=')) {
    return refuse(entry, 'the query must be exactly one workspace=<name>');
  }
  const workspace = parameter.slice('workspace='.length);
  if (!WORKSPACE_NAME.test(workspace)) return refuse(entry, `the workspace ${WORKSPACE_RULE}`);
  return { operation, workspace };
}

function parseBareOp(operation: SecretOperation, app: string): Grant | OpProblem {
  if (WORKSPACE_NAME.test(app)) return { operation, workspace: app };
  return refuse(
    operation,
    `a bare op means the workspace named like the app, and a workspace ${WORKSPACE_RULE}`,
  );
}

function refuse(entry: string, rule: string): OpProblem {
  const shown = entry.length > SHOWN_LENGTH ? `${entry.slice(0, SHOWN_LENGTH)}…` : entry;
  return { problem: `op ${JSON.stringify(shown)}: ${rule}` };
}
