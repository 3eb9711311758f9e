/** One segment as a process of its own, for tests that kill it and for the bench. Its order comes as JSON in argv[2]; it says `{port}` when it runs. */
import type { Assignment } from '@mirabelle/messages'
import { startSegment } from './cluster-of-one.ts'

const assignment = JSON.parse(process.argv[2] as string) as Assignment
const running = startSegment(assignment)
void running.ended.then((error) => process.exit(error === undefined ? 0 : 1))
await running.segment.start()
process.send?.({ port: running.segment.instance.port })
process.on('SIGTERM', () => process.exit(0))
