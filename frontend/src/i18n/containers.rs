texts! {
    /// A container's and a service's page.
    Containers {
        out_of_memory: "The kernel ended it: it used more memory than it may.", "已被内核终止：内存使用超出限制。";
        memory_limit: "It may use up to {limit} of memory.", "内存上限为 {limit}。";
        restart_policy: "Restart policy", "重启策略";
        once_per_host: "once on each matching host", "每台匹配主机运行一个";
        scale_help: "How many containers should run.", "应运行的容器数量。";
        scaled: "{name}: {scale} wanted.", "{name}：目标 {scale} 个。";
        no_service: "There is no such service in this stack.", "此应用栈中没有该服务。";
        containers: "{n} container|{n} containers", "{n} 个容器";
        any_owner: "Made by anyone", "所有来源";
        by_drover: "Made by Drover", "由 Drover 创建";
    }
}
