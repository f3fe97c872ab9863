import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Params } from 'nestjs-pino';
import type { Log } from '../logging/log';
import { isProbe, operationOf, pathOf, workspaceOf, type ProviderRequest } from './provider-request';

/**
 * One JSON line a request: who, what, where, how it ended, how long it took.
 * The fields are listed here and nothing else is written: no header, body, URL or foreign error object.
 */
export function requestLog(logger: Log): Params {
  return {
    pinoHttp: {
      logger,
      quietReqLogger: true,
      quietResLogger: true,
      wrapSerializers: false,
      customAttributeKeys: { reqId: 'requestId', responseTime: 'durationMs' },
      customLogLevel: (_request, response) => (response.statusCode >= 500 ? 'error' : 'info'),
      customSuccessMessage: () => 'request completed',
      customErrorMessage: () => 'request completed',
      customSuccessObject: fieldsOf,
      customErrorObject: (request, response, _error, value: Duration) => fieldsOf(request, response, value),
      autoLogging: { ignore: isProbe },
    },
  };
}

interface Duration {
  readonly durationMs: number;
}

function fieldsOf(request: IncomingMessage, response: ServerResponse, { durationMs }: Duration): object {
  const { caller, query, user } = request as ProviderRequest;
  return {
    method: request.method,
    op: operationOf(pathOf(request)),
    app: caller?.app,
    user: caller?.user ?? user,
    workspace: workspaceOf(query),
    code: response.statusCode,
    // False where the client went away before the answer did.
    completed: response.writableFinished,
    durationMs,
  };
}
