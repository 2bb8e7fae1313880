package publish

// childEnv is set for a test binary that is to be a pod that gets killed.
const childEnv = "KINOPOD_PUBLISH_CHILD"

func runChild() {}
