/**
 * A program that goes on in a host of a network: clients and administrators must be in it to reach the others. Outside it makes the network and starts itself once more in the host;
 * inside it finds the network that it is in.
 */
import { once } from 'node:events'
import { HostNetwork, type NetworkDescription, type NetworkHost } from './host-network.ts'

const VARIABLE = 'MIRABELLE_TEST_NETWORK'

/** The network that this process was started in; undefined outside. */
export function networkHere(): HostNetwork | undefined {
  const text = process.env[VARIABLE]
  return text === undefined ? undefined : HostNetwork.of(JSON.parse(text) as NetworkDescription)
}

/**
 * Makes the network, runs a program of Node in one of its hosts with this process's options, input and output, and deletes the network. Resolves with its exit status.
 * SIGINT and SIGTERM are passed on.
 */
export async function runInside(
  hosts: readonly NetworkHost[],
  host: string,
  script: string,
  args: readonly string[] = [],
): Promise<number> {
  const network = await HostNetwork.make(hosts)
  try {
    const child = network.spawn(host, [process.execPath, ...process.execArgv, script, ...args], {
      stdio: 'inherit',
      env: { ...process.env, [VARIABLE]: JSON.stringify(network.description) },
    })
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass)
    try {
      const [code] = (await once(child, 'exit')) as [number | null]
      return code ?? 2
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass)
    }
  } finally {
    await network.close()
  }
}
