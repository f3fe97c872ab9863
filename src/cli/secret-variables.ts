import { UsageError } from '../errors/operator-errors';
import { CommandFailure } from './console';

/** How the names of secrets become the names of environment variables. */
export interface Naming {
  readonly prefix?: string;
  /** Whether a secret may replace a variable that is set already. */
  readonly override?: true;
}

/** What decides which code a program runs, or as whom: whoever may write a secret of the workspace would decide it. */
const STEERING: readonly RegExp[] = [
  /^(PATH|HOME|SHELL|USER|LOGNAME|IFS|ENV|BASH_ENV|BASH_FUNC_.*|PS4|SHELLOPTS|BASHOPTS|PROMPT_COMMAND|TMPDIR|EDITOR|VISUAL|PAGER)$/,
  /^(LD|DYLD|GLIBC|MALLOC)_|^(GCONV_PATH|LOCPATH|NLSPATH|HOSTALIASES|RES_OPTIONS)$/,
  /^(ZDOTDIR|FPATH|CDPATH|INPUTRC|HISTFILE|LESSOPEN|LESSCLOSE|MANPAGER|BROWSER|XDG_[A-Z_]+|(SSH|SUDO)_ASKPASS|(GNU)?MAKEFLAGS|MAKEFILES)$/,
  /^NODE_(OPTIONS|PATH|EXTRA_CA_CERTS|TLS_REJECT_UNAUTHORIZED|REPL_EXTERNAL_MODULE|COMPILE_CACHE|V8_COVERAGE|REDIRECT_WARNINGS)$/,
  /^(NPM_CONFIG|GIT_CONFIG|OLARES_SECRETS|DOTNET|COMPLUS|CORECLR|COR)_/,
  /^GIT_(SSH|SSH_COMMAND|EXEC_PATH|ASKPASS|EXTERNAL_DIFF|PROXY_COMMAND|(SEQUENCE_)?EDITOR|PAGER|TEMPLATE_DIR|DIR|WORK_TREE|SSL_[A-Z_]+)$/,
  /^(PYTHON[A-Z]+|PERL5?[A-Z_]+|RUBY(OPT|LIB)|GEM_(PATH|HOME)|BUNDLE_GEMFILE|PHPRC|PHP_INI_SCAN_DIR|LUA_(INIT|C?PATH).*)$/,
  /^(_?JAVA_(TOOL_)?OPTIONS|(JAVA|JVM|MAVEN|GRADLE|SBT|CATALINA)_OPTS|JDK_JAVA_OPTIONS|CLASSPATH|GODEBUG|GOFLAGS|RUSTC?_?[A-Z_]*WRAPPER)$/,
  /^(SSL_CERT_(FILE|DIR)|OPENSSL_[A-Z_]+|SSLKEYLOGFILE|CURL_CA_BUNDLE|REQUESTS_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY)$/,
];

const PREFIX = /^[A-Za-z_][A-Za-z0-9_]{0,99}$/;

/** Linux takes `NAME=value` of an environment up to this length, its closing zero included. */
const MAX_VARIABLE_BYTES = 131_072;

/**
 * Returns the variables of the secrets. A name becomes upper case, and every character but A–Z, 0–9 and _ becomes _; a digit at the
 * beginning gets a _ in front.
 * @throws UsageError for a broken prefix
 * @throws CommandFailure where two secrets become one variable, or one that is set already or steers programs, or a value is too long
 */
export function secretVariables(
  secrets: ReadonlyMap<string, string>,
  { prefix = '', override }: Naming,
  inherited: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (prefix !== '' && !PREFIX.test(prefix))
    throw new UsageError('--prefix must be letters, digits and _, and begin with no digit.');
  const nameOf = new Map<string, string>();
  const variables: Record<string, string> = {};
  for (const [name, value] of secrets) {
    const variable = variableOf(name, prefix);
    const other = nameOf.get(variable);
    if (other !== undefined)
      throw refused(`The secrets ${other} and ${name} would both be the variable ${variable}`);
    if (STEERING.some((pattern) => pattern.test(variable.toUpperCase())))
      throw refused(`The secret ${name} would be the variable ${variable}, which decides what programs do`);
    if (override !== true && Object.hasOwn(inherited, variable))
      throw refused(
        `The secret ${name} would replace the variable ${variable}, which is set`,
        ', --override',
      );
    if (Buffer.byteLength(`${variable}=${value}`) >= MAX_VARIABLE_BYTES)
      throw refused(`The secret ${name} is too long for an environment variable`);
    nameOf.set(variable, name);
    variables[variable] = value;
  }
  return variables;
}

function variableOf(name: string, prefix: string): string {
  // Letters of other alphabets have upper cases of other lengths: they are no letters of a variable.
  const letters = [...name].map((one) => (/[A-Za-z0-9_]/.test(one) ? one.toUpperCase() : '_')).join('');
  return prefix + (prefix === '' && /^\d/.test(letters) ? `_${letters}` : letters);
}

function refused(what: string, more = ''): CommandFailure {
  return new CommandFailure(1, `${what}: --prefix${more} or --only avoids it.`);
}
