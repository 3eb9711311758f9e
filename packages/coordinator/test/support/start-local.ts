/** Runs a local cluster until standard input ends: `node --import=tsx start-local.ts [contents]` prints its port. */
import { startLocalCluster } from './local-cluster.ts'

const cluster = await startLocalCluster({ contents: Number(process.argv[2] ?? 2) })
console.log(cluster.port)
process.stdin.resume()
process.stdin.on('end', () => void cluster.stop())
