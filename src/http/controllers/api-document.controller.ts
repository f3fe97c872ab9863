import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Controller, Get, Param, Req, Res } from '@nestjs/common';
import type { Response } from 'express';
import { RouteNotFound } from '../../errors/request-errors';
import { Admission } from '../../limits/admission';
import { type ProviderRequest, subjectOf, PublicRoute } from '../request/provider-request';
import { send, sendLarge, whenReceived } from '../server/json-answers';

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
  private readonly texts = new Map<string, Promise<Buffer>>();

  constructor(private readonly admission: Admission) {}

  @Get('openapi.json')
  async openApi(@Req() request: ProviderRequest, @Res() response: Response): Promise<void> {
    // Most services are never asked for it.
    const document = await this.kept('openapi.json', async () => {
      const { openApiDocument } = await import('../openapi/openapi-document.js');
      return Buffer.from(JSON.stringify(openApiDocument()));
    });
    this.sendCounted(request, response, 'application/json', document);
  }

  @Get('docs')
  page(@Res() response: Response): void {
    response.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    response.setHeader('Referrer-Policy', 'no-referrer');
    send(response, 200, [PAGE], undefined, 'text/html');
  }

  @Get('docs/:file')
  async file(
    @Param('file') file: string,
    @Req() request: ProviderRequest,
    @Res() response: Response,
  ): Promise<void> {
    if (file === 'page.js') return send(response, 200, [PAGE_SCRIPT], undefined, 'text/javascript');
    const type = VIEWER_FILES.get(file);
    if (type === undefined) throw new RouteNotFound();
    const bytes = await this.kept(file, () => viewerFile(file));
    this.sendCounted(request, response, type, bytes);
  }

  /** Makes a text once, however many ask for it. */
  private kept(name: string, make: () => Promise<Buffer>): Promise<Buffer> {
    const known = this.texts.get(name);
    if (known !== undefined) return known;
    const text = make();
    this.texts.set(name, text);
    text.catch(() => this.texts.delete(name));
    return text;
  }

  /** Anybody may ask for it and not read it. @throws TooManyRequests, Overloaded where too much of it is unread */
  private sendCounted(request: ProviderRequest, response: Response, type: string, bytes: Buffer): void {
    const length = request.method === 'HEAD' ? 0 : bytes.length;
    whenReceived(request, this.admission.strangersAnswers.take(subjectOf(request), length));
    sendLarge(response, 200, [bytes], undefined, type);
  }
}

/** The build copies the files of the viewer beside the code (nest-cli.json). Code that was not built so, as in the tests, takes them from the package. */
function viewerFile(file: string): Promise<Buffer> {
  return readFile(join(__dirname, '../../swagger-ui-dist', file)).catch(() =>
    readFile(join(require.resolve('swagger-ui-dist/package.json'), '..', file)),
  );
}
