/** Entries of an assignment's texts that are no settings: what only instances of content -1 are told, by whoever starts them. */

/** The first catalog of a cluster that has none, as JSON. From the command line, once. */
export const INITIAL_CLUSTER_SETTING = 'mirabelle.initial-cluster'

/** The whole cluster, as JSON: where a standby that is activated finds the segments. */
export const TOPOLOGY_SETTING = 'mirabelle.topology'

/** `on`: an administrator says that whoever was promised a higher epoch is lost: the coordinator takes a higher one still. From the command line, for one start. */
export const RECLAIM_SETTING = 'mirabelle.reclaim'

/** `on`: nobody asked for this start, so the coordinator lets nobody in before the segments show that no other one rules. */
export const PROVE_EPOCH_SETTING = 'mirabelle.prove-epoch'
