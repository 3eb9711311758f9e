/**
 * Entry of the reaper of a network: `node network-reaper-main.js PREFIX`. Started beside each network with a pipe as its input; when the pipe closes (its maker has closed
 * the network, or has ended in whatever way) it ends what runs in the namespaces, deletes them and ends.
 */
import { removeNamespaces } from './namespaces.ts'

const prefix = process.argv[2] as string
process.chdir('/')
process.stdin.resume()
process.stdin.once('close', () => {
  removeNamespaces(prefix).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`the network ${prefix} was not cleaned up: ${String(error)}\n`)
      process.exit(1)
    },
  )
})
