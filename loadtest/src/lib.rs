//! Open-loop load driver and paired cost benchmark; a black box over HTTP.
