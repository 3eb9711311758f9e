/** Entry of the `mirabelle` command. Ctrl-C undoes what is half done. */
import { run } from './run.ts'
import { installInterrupts } from './terminal/interrupt.ts'

installInterrupts()
await run(process.argv.slice(2))
