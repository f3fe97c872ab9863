import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serve } from '../../bench/processes/handlers';
import { preferred } from '../attacked-service';

/** Answers at once and is not attacked: where it is slower during an attack, the machine is the reason and not the service. */
const server = createServer((_request, response) => {
  response.end('{}');
});
const listening = new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
preferred(process.pid);

const handlers = {
  port: async (): Promise<number> => {
    await listening;
    return (server.address() as AddressInfo).port;
  },
};

export type ControlServer = typeof handlers;

serve(handlers);
