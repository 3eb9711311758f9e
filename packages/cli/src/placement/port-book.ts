/** Gives out ports and data directories, so that no two instances or agents of one address share any. */
import type { PlacementHost } from './placement.ts'
import { PlacementError } from './placement.ts'

const LAST_PORT = 65_535

export class PortBook {
  /** Who has a port, by `address:port`. */
  readonly #owners = new Map<string, string>()

  /** Takes this very port. Throws PlacementError when somebody has it. */
  reserve(host: PlacementHost, port: number, owner: string): number {
    if (!Number.isInteger(port) || port < 1 || port > LAST_PORT) {
      throw new PlacementError(
        `The port of ${owner} on host ${host.name} must be from 1 to ${LAST_PORT}, not ${port}.`,
      )
    }
    for (const address of host.addresses) {
      const other = this.#owners.get(`${address}:${port}`)
      if (other !== undefined) {
        throw new PlacementError(
          `${other} and ${owner} on host ${host.name} cannot have the same port ${port}.`,
        )
      }
    }
    for (const address of host.addresses) this.#owners.set(`${address}:${port}`, owner)
    return port
  }

  /** Takes the first free port from `from` on (default: the host's base port). */
  next(host: PlacementHost, owner: string, from = host.basePort): number {
    let port = from
    while (port <= LAST_PORT && host.addresses.some((address) => this.#owners.has(`${address}:${port}`)))
      port += 1
    return this.reserve(host, port, owner)
  }
}
