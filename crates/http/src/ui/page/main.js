// The page: one element for each section, drawn from the node's news.

import "./status.js";
import "./ring.js";
import "./members.js";
import "./traffic.js";
import "./work.js";
import "./key.js";
import "./buckets.js";
import "./doctor.js";
import { listen } from "./news.js";

listen();
