/** A listener on all addresses of an endpoint. Ends with `close()`; the connections that it handed over stay. */
import { createServer } from 'node:net'
import type { AddressInfo, Server } from 'node:net'
import { MirabelleError } from '@mirabelle/messages'
import type { Endpoint } from '@mirabelle/messages'
import type { Connection, Hello, Listener, Party } from '../ports/network.ts'
import { boundedLogger } from '../log/bounded-log.ts'
import { acceptPeer } from './accept-peer.ts'
import type { NetworkContext } from './network-context.ts'
import { HANDSHAKE_TIMEOUT_MS, MAX_UNPROVEN, UnprovenConnections } from './unproven-connections.ts'

/** Listens; with port 0 the first address picks the port for all. Rejects with `listen.failed`. */
export async function openListener(
  context: NetworkContext,
  endpoint: Endpoint,
  self: () => Party,
  accept: (connection: Connection, hello: Hello) => void,
): Promise<Listener> {
  const unproven = new UnprovenConnections({
    clock: context.clock,
    most: MAX_UNPROVEN,
    timeoutMs: () => HANDSHAKE_TIMEOUT_MS,
  })
  const log = boundedLogger(context.log, context.clock)
  const servers: Server[] = []
  const closeAll = (): Promise<void> => {
    for (const server of servers) server.close()
    unproven.dropAll()
    return new Promise((resolve) => context.clock.soon(resolve))
  }
  let port = endpoint.port
  for (const address of endpoint.addresses) {
    const server = createServer((socket) => acceptPeer(socket, { context, log, unproven, self, accept }))
    try {
      port = await listen(server, address, port)
    } catch (error) {
      await closeAll()
      const { code, message } = error as NodeJS.ErrnoException
      throw new MirabelleError(
        'listen.failed',
        `cannot listen on ${address} port ${port}: ${code ?? message}`,
        {
          cause: error,
        },
      )
    }
    server.on('error', (error) =>
      context.log.error({ err: error, address, port }, 'the listener had an error'),
    )
    servers.push(server)
  }
  return { port, close: closeAll }
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}
