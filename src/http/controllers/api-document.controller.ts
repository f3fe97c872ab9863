import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { Controller, Get, Param, Res } from '@nestjs/common';
import type { Response } from 'express';
import { RouteNotFound } from '../../errors/request-errors';
import { PublicRoute } from '../request/route-access';
import { sendJson } from '../server/json-answers';

/** Only what comes from this service runs, and nothing is sent elsewhere. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Links are relative, so that the page works behind a prefix too. */
const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>olares-secret-provider</title><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="page"></div><script src="docs/swagger-ui-bundle.js"></script><script src="docs/page.js"></script></body>
</html>
`;
const PAGE_SCRIPT = `SwaggerUIBundle({ url: 'openapi.json', dom_id: '#page', deepLinking: true, validatorUrl: null });\n`;

const VIEWER_FILES: ReadonlyMap<string, string> = new Map([
  ['swagger-ui.css', 'text/css'],
  ['swagger-ui-bundle.js', 'text/javascript'],
]);

/** Shows the API to developers: the OpenAPI document, and a page that renders it without the internet. */
@Controller()
@PublicRoute()
export class ApiDocumentController {
  private document: Promise<Buffer> | undefined;

  @Get('openapi.json')
  async openApi(@Res() response: Response): Promise<void> {
    // Most services are never asked for it.
    this.document ??= import('../openapi/openapi-document.js').then(({ openApiDocument }) =>
      Buffer.from(JSON.stringify(openApiDocument())),
    );
    sendJson(response, 200, [await this.document]);
  }

  @Get('docs')
  page(@Res() response: Response): void {
    response.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    response.setHeader('Referrer-Policy', 'no-referrer');
    sendText(response, 'text/html', PAGE);
  }

  @Get('docs/:file')
  file(@Param('file') file: string, @Res() response: Response): void {
    if (file === 'page.js') return sendText(response, 'text/javascript', PAGE_SCRIPT);
    const type = VIEWER_FILES.get(file);
    if (type === undefined) throw new RouteNotFound();
    response.setHeader('Content-Type', `${type}; charset=utf-8`);
    const viewer = join(require.resolve('swagger-ui-dist/package.json'), '..');
    // A client that hangs up, or reads too slowly, ends the file too.
    pipeline(createReadStream(join(viewer, file)), response, () => undefined);
  }
}

function sendText(response: Response, type: string, text: string): void {
  response.setHeader('Content-Type', `${type}; charset=utf-8`);
  response.end(text);
}
